"""Whoever looks at a run or asks something of it: the socket, requests, the console."""
