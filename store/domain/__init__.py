"""What is decided about preferences, without a database: values in, values out, `now` is passed in."""
