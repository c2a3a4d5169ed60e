"""What `benchmarks.gpu_kernels` measures with: networks made on the device, and its clock."""
