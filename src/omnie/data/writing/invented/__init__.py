"""What training reads and nobody wrote: words that say nothing together, and relations told in them."""
