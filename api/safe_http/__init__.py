"""Requests to URLs that clients name: to public addresses only, with limits of size and time.

No such request may become a way into the network of this process.
"""
