"""What the browser sees: one module per page. No torch, no SQL."""
