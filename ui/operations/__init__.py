"""Operation of a served page: health, metrics, logs, stopping, checks of the installation, deployment, webhooks."""
