"""What is read: listing and planning of inputs, label banks, embeddings; nothing here scores or writes a scan."""
