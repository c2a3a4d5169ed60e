# Everything goes through here; CI and hooks call `make check` and restate nothing.

PYTHON ?= python3
VENV ?= .venv
STORE ?= store
PORT ?= 8000

# make report REPORT=full measures for hours; data sets are hub names or folders.
REPORT ?= quick
INFERENCE ?= quick
SOAK ?= 3600
MNIST ?= ylecun/mnist
FASHION_MNIST ?= zalando-datasets/fashion_mnist
CIFAR100 ?= uoft-cs/cifar100

# The CPU build by its full name, so that no CUDA package can come in. Where pip already has a local
# source of wheels that is used, else PyTorch's own index. On a GPU machine, for example:
#   make serve TORCH=torch==2.13.0 TORCH_SOURCE=
TORCH ?= torch==2.13.0+cpu
TORCH_SOURCE ?= $(if $(PIP_FIND_LINKS),,--extra-index-url https://download.pytorch.org/whl/cpu)

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: serve demo test chaos soak check format lint types bench peers report inference lock sbom audit clean

serve: demo
	STORE=$(STORE) PORT=$(PORT) $(BIN)/impress-serve

demo: $(VENV)/.runtime $(STORE)/manifest.json

# Trained beside and moved when whole: a demo that was interrupted goes on where it was.
$(STORE)/manifest.json: | $(VENV)/.runtime
	$(BIN)/impress-train demo --store $(STORE).partial --samples samples
	mv $(STORE).partial $(STORE)

test: $(VENV)/.test .tools/promtool .tools/prometheus .tools/nginx
	$(BIN)/pytest $(TESTS)

# Tests of faults in their long form: half an hour or so. It ends with 1 where anything was lost, or a bound missed.
chaos: $(VENV)/.test .tools/nginx
	$(BIN)/pytest tests -m chaos --chaos-long --chaos-out=report/chaos --chaos-page=docs/reliability.md

# For as many seconds as SOAK says: memory, descriptors and latency under churn, as a figure.
soak: $(VENV)/.test
	$(BIN)/python -m benchmarks.churn --seconds $(SOAK) --figures report/soak

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m service.settings_table docs/operators.md
	$(BIN)/python -m service.access.table docs/access.md

# make bench QUICK=1 takes minutes; both write benchmarks/results and end with 1 where a bound is missed.
bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

# The environments of the servers that the service is compared with; python -m benchmarks.against_peers compares.
peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.against_peers --install

# Killed and started again it goes on; it ends with 1 where a claim does not hold.
report: $(VENV)/.runtime
	$(if $(filter quick full,$(REPORT)),,$(error REPORT is quick or full, not '$(REPORT)'))
	$(BIN)/impress-train report --out report --mnist '$(MNIST)' --fashion-mnist '$(FASHION_MNIST)' \
	  --cifar100 '$(CIFAR100)' $(if $(filter full,$(REPORT)),--full)

# Which task is this? As the report: killed and started again it goes on; INFERENCE=full takes 43 minutes of two cores.
inference: $(VENV)/.runtime
	$(if $(filter quick full,$(INFERENCE)),,$(error INFERENCE is quick or full, not '$(INFERENCE)'))
	$(BIN)/impress-train inference --out report/inference --mnist '$(MNIST)' \
	  --fashion-mnist '$(FASHION_MNIST)' $(if $(filter full,$(INFERENCE)),--full)

# All but torch comes as wheels whose hashes the lock has. Torch comes after it, so that what it needs is
# there and nothing else is asked of its index; its CPU build is held by its version alone.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

define install_locked
$(BIN)/pip install --quiet --require-hashes --only-binary :all: --no-deps -r
endef

# Also compiles the kernels, where there is a compiler.
$(VENV)/.runtime: pyproject.toml locks/runtime.txt setup.py $(wildcard masked_network/*.?pp) | $(BIN)/pip
	$(install_locked) locks/runtime.txt
	$(BIN)/pip install --quiet $(TORCH_SOURCE) '$(TORCH)'
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(refuse_cuda)
	touch $@

$(VENV)/.test: $(VENV)/.runtime locks/test.txt
	$(install_locked) locks/test.txt
	$(refuse_cuda)
	touch $@

# Check Prometheus' configuration, its alerts and the dashboards' queries. Links where they are installed,
# else taken out of Debian's package without installing that; where neither can be, their tests skip and
# say so.
.tools/promtool .tools/prometheus &:
	@mkdir -p $(@D)
	@if promtool=$$(command -v promtool) && prometheus=$$(command -v prometheus); then \
	  ln -sf "$$promtool" "$$prometheus" $(@D); \
	else \
	  unpacked=$$(mktemp -d) && trap 'rm -rf "$$unpacked"' EXIT \
	  && (cd "$$unpacked" && apt-get download -qq -o APT::Sandbox::User=root -o Acquire::http::Timeout=15 \
	    prometheus && dpkg-deb -x prometheus_*.deb .) \
	  && install "$$unpacked/usr/bin/promtool" "$$unpacked/usr/bin/prometheus" $(@D); \
	fi || echo 'prometheus and promtool could not be had: put them on the PATH (Debian package prometheus), or run apt-get update' >&2

.tools/nginx:
	@mkdir -p $(@D)
	@if nginx=$$(command -v nginx); then ln -sf "$$nginx" $(@D); \
	else \
	  unpacked=$$(mktemp -d) && trap 'rm -rf "$$unpacked"' EXIT \
	  && (cd "$$unpacked" && apt-get download -qq -o APT::Sandbox::User=root -o Acquire::http::Timeout=15 \
	    nginx && dpkg-deb -x nginx_*.deb .) \
	  && install "$$unpacked/usr/sbin/nginx" $(@D); \
	fi || echo 'nginx could not be had: put it on the PATH (Debian package nginx), or run apt-get update' >&2

define refuse_cuda
	@case '$(TORCH)' in *+cpu) \
	  if $(BIN)/pip list --format=freeze | grep -iE '^(nvidia|cuda)[-_]'; then \
	    echo 'the packages above are for CUDA: this environment should have none' >&2; exit 1; \
	  fi ;; \
	esac
endef

# Hashed versions of everything that an environment may hold, for each platform of it; versions stay as
# they are locked while they fit pyproject.toml. make lock UPGRADE=1 takes the newest.
LOCKING = .venv-tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --custom-compile-command 'make lock' --no-emit-package torch
EXTRAS = $(addprefix --extra ,$(1))

lock: .venv-tools/.tools
	$(LOCKING) $(if $(UPGRADE),--upgrade) -o locks/test.txt pyproject.toml \
	  $(call EXTRAS,client service grpc training tracing objects test)
	$(LOCKING) -c locks/test.txt -o locks/runtime.txt pyproject.toml $(call EXTRAS,client service training)
	$(LOCKING) -c locks/test.txt -o locks/image.txt pyproject.toml $(call EXTRAS,client service objects)
	printf '%s\n' cyclonedx-bom pip-audit uv | $(LOCKING) $(if $(UPGRADE),--upgrade) -o locks/tools.txt -

# Apart from what they look at.
.venv-tools/.tools: locks/tools.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --require-hashes --only-binary :all: --no-deps -r locks/tools.txt
	touch $@

# What the image is made of, as CycloneDX.
sbom: .venv-tools/.tools
	mkdir -p report
	(cat locks/image.txt; echo '$(TORCH)') | .venv-tools/bin/cyclonedx-py requirements --output-reproducible \
	  --pyproject pyproject.toml --of JSON -o report/sbom.cdx.json -

# Known vulnerabilities, by the advisories of the Python Package Index. Fails too where there was no answer.
audit: .venv-tools/.tools
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes -r locks/test.txt

clean:
	rm -rf $(VENV) .venv-peers .venv-tools build *.egg-info masked_network/*.so
