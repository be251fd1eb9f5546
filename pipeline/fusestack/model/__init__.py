"""Values that the floors say to each other: geometry, views, images, stages, errors."""
