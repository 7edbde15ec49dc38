"""What a command is told: frozen pydantic models, checked where they enter; nothing here reads data or runs."""
