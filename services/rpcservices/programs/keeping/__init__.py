"""Programs that outlive the server, and what earlier ones have left."""
