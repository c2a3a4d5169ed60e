"""The offline trainer: reads data sets, learns impressions and coefficients, writes a store.

Never imports the service, and the service never imports it.
"""
