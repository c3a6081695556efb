"""From examples to what the model sees: templates, tokens, masks, packing. Runs where torch may be imported."""
