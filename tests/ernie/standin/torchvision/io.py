"""Names that are imported and never called here."""

ImageReadMode = decode_image = read_video = None
