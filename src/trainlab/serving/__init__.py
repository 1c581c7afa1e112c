"""What a trained network says: saved runs loaded, evaluated and exported; a user's own images prepared for
them."""
