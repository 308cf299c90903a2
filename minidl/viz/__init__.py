"""Pictures and pages: `plots` needs Matplotlib, `page` Jinja2; pip install 'minidl[viz]'."""
