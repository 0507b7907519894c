"""The practice platform: a small real one, on which nothing leaves the box.

It has an API in the style of Instagram's, a fetcher that comes to our public links, a store of
its own (nothing of it is in the appliance's database) and pages that show what it received. It
can be told to misbehave (web/practice/faults.py).
"""
