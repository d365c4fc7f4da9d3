"""Parts that several tabs are made of; pure HTML, CSS and colours."""
