"""The demo, with the drawings and the model that it runs on. It only calls other rooms; none of them calls it."""
