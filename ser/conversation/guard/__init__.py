"""Talk of self-harm, violence or abuse: found so that it gets a careful, fixed text and never a generated one."""
