// Prober is a program of a test: it is built into an image alone.
module prober

go 1.26.4
