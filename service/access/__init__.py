"""Who may do what: keys and their scopes, tenants, quotas, and what is written of changes."""
