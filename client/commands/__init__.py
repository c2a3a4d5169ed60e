"""The commands of `impress`, a file each."""
