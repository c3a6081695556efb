"""What happens after a click: recipes, data, the queue, training, inference, export. Only training code imports torch."""
