"""What is answered over HTTP, by kind: pictures, live streams, pages, changes; and to whom."""
