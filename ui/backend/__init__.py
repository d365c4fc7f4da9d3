"""Services of the page: models, store, uploads, people."""
