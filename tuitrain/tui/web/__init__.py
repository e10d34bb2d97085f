"""The screen in a browser; needs the extra `serve`."""
