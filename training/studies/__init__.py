"""The accuracy report: studies that measure into one ledger; its page, figures and claims.

A new study is a module here with the two methods of `study.Study`, and a line in `catalogue`.
"""
