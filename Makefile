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

.PHONY: serve demo test chaos soak check format lint types bench peers report inference lock clean

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
chaos: $(VENV)/.test
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

# Which task is this? As the report: killed and started again it goes on; INFERENCE=full takes an hour of 16 cores.
inference: $(VENV)/.runtime
	$(if $(filter quick full,$(INFERENCE)),,$(error INFERENCE is quick or full, not '$(INFERENCE)'))
	$(BIN)/impress-train inference --out report/inference --mnist '$(MNIST)' \
	  --fashion-mnist '$(FASHION_MNIST)' $(if $(filter full,$(INFERENCE)),--full)

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt $(TORCH_SOURCE) '$(TORCH)'
	touch $@

# Also compiles the kernels, where there is a compiler.
$(VENV)/.runtime: $(VENV)/.torch pyproject.toml constraints.txt setup.py $(wildcard masked_network/*.?pp)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[client,service,training]'
	$(refuse_cuda)
	touch $@

$(VENV)/.test: $(VENV)/.runtime
	$(BIN)/pip install --quiet -c constraints.txt -e '.[client,service,grpc,training,tracing,objects,test]'
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

# The lock: what a clean environment resolves to, without torch's build and without this project.
lock:
	rm -rf $(VENV).lock && $(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/pip install --quiet $(TORCH_SOURCE) '$(TORCH)'
	$(VENV).lock/bin/pip install --quiet '.[client,service,grpc,training,tracing,objects,test]'
	( echo '# Made by `make lock`: every package that an environment of this project may hold.'; \
	  $(VENV).lock/bin/pip freeze --exclude impress | sed -E 's/^(torch==[0-9.]+).*/\1/' ) > constraints.txt
	rm -rf $(VENV).lock

clean:
	rm -rf $(VENV) .venv-peers build *.egg-info masked_network/*.so
