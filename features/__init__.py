"""Feature maths (pure), spines, training frames, the Feast repository, materialization."""
