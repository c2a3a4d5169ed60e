"""Pictures that benchmarks leave beside their claims."""
