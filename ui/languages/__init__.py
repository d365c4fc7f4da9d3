"""The page's languages: one file each, and what finds the texts that it must hold."""
