"""Where the transitions of a run are kept: packed in memory, or mapped from a store on disk."""
