"""The faces of the service, one file each: they translate, the engine decides."""
