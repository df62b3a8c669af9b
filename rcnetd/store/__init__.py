"""What rcnetd keeps on disk: one module per file, with its form, its writer and its reader."""
