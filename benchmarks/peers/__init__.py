"""Other servers that do the service's job: small files that run in environments of their own."""
