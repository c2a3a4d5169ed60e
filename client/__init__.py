"""The service's client, for programs and for operators. Speaks HTTP; imports none of the others."""
