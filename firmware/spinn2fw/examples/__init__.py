"""Small programs to read, to try and to begin your own with; `docs/examples/` has networks of them."""
