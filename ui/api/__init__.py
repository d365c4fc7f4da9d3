"""The endpoints that programs use, each under its own name; the page itself uses none of them."""
