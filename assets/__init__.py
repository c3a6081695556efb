"""The demo base model, the sample data sets, and the scripts that made them."""
