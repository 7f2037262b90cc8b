"""The documentation: pages in `pages/`, and what is generated into them when the site is built."""
