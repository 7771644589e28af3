"""The page that shows a topology: one self-contained HTML document, served live or written to a file."""
