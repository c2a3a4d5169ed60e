"""A part of a path without a colon: what follows one is what is to be done, not a name."""

from starlette.convertors import StringConvertor, register_url_convertor

PLAIN = "plain"


class PlainName(StringConvertor):
    """Anything else but a slash."""

    regex = "[^/:]+"


register_url_convertor(PLAIN, PlainName())
