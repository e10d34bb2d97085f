"""What keys and the palette do: one file for each group of keys, all parts of one program."""
