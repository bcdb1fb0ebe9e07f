"""What several tests need: tiny models, made studies, files in other formats, ways to read a page."""
