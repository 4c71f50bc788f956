"""Contents of documents: what a text or a book has in it, before anything of it is spoken."""
