/*
 * What is used of libjpeg-turbo's TurboJPEG interface (version 2, whose functions version 3 still has) and of libpng 1.6's
 * simplified interface, in names of our own.
 */
#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stdint.h>

/* TJPF_*: the order of channels. */
enum { JPEG_RGB = 0, JPEG_GREY = 6, JPEG_CMYK = 11 };

/* TJFLAG_*. */
enum { JPEG_LIMIT_SCANS = 32768 };

/* TJERR_*: a warning leaves a picture, whole but perhaps wrong in places. */
enum { JPEG_WARNING = 0, JPEG_FATAL = 1 };

/* png_image, as PNG_IMAGE_VERSION 1 lays it out. */
typedef struct png_picture {
  void *opaque;
  uint32_t version, width, height, format, flags, colormap_entries, warning_or_error;
  char message[64];
} png_picture;

enum { PNG_PICTURE_VERSION = 1 };

/* PNG_FORMAT_*: 8 bits a channel, colours as they are stored. */
enum { PNG_PICTURE_GREY = 0, PNG_PICTURE_RGB = 2, PNG_PICTURE_RGBA = 3 };

/* PNG_IMAGE_FLAG_16BIT_sRGB: 16 bits a channel mean what 8 bits do, not light itself. */
enum { PNG_PICTURE_16_BITS_ARE_SRGB = 4 };

#endif
