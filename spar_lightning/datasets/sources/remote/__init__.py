"""Files that are somewhere else, and how they are downloaded."""
