# SPDX-License-Identifier: LGPL-2.1-only
#
# Installation.  Our xl never takes the place of the distribution's: it goes
# to libexec/xen-postcopy/bin, and whoever wants it first puts that directory
# first in PATH.  Everything else has names of its own.

INSTALL     := install
PKGLIBEXEC  := $(libexecdir)/xen-postcopy
HEADERS     := $(wildcard tools/libxc/xenpostcopy*.h) \
               $(if $(XL_LIB_SO),tools/libxl/libxl_postcopy.h)
DOCS        := README.md COPYING $(wildcard docs/*.md docs/*/*.pandoc docs/*/*.md)
MAN_SECTION  = $(subst .,,$(suffix $(1)))

# One line for each installed file: mode, source, place.
define INSTALLED
0755 $(BUILD)/bin/xl $(PKGLIBEXEC)/bin/xl
0755 $(BUILD)/bin/xen-verify-stream $(bindir)/xen-verify-stream
0755 $(BUILD)/bin/xen-postcopy-guest $(PKGLIBEXEC)/xen-postcopy-guest
0755 $(BUILD)/bin/xl-save-shim $(PKGLIBEXEC)/xl-save-shim
$(if $(WITNESS_WHY),,0644 $(WITNESS) $(PKGLIBEXEC)/witness)
0644 $(LIB_SO) $(libdir)/$(SO_REAL)
0644 $(LIB_A) $(libdir)/libxenpostcopy.a
0644 $(PC) $(libdir)/pkgconfig/xenpostcopy.pc
$(if $(XL_LIB_SO),0644 $(XL_LIB_SO) $(libdir)/$(XL_SO_REAL))
$(if $(XL_LIB_SO),0644 $(XL_PC) $(libdir)/pkgconfig/xlpostcopy.pc)
$(foreach f,$(HEADERS),0644 $(f) $(includedir)/$(notdir $(f))
)
$(foreach f,$(MANPAGES),0644 $(f) $(mandir)/man$(call MAN_SECTION,$(f))/$(notdir $(f))
)
$(foreach f,$(DOCS),0644 $(f) $(docdir)/$(notdir $(f))
)
endef

.PHONY: install uninstall
install: all
	$(file >$(BUILD)/installed,$(INSTALLED))
	@while read -r mode from to; do \
	    test -n "$$to" || continue; \
	    echo "  INST  $(DESTDIR)$$to"; \
	    $(INSTALL) -D -m "$$mode" "$$from" "$(DESTDIR)$$to" || exit 1; \
	done <$(BUILD)/installed
	@ln -sf $(SO_REAL) $(DESTDIR)$(libdir)/$(SO_NAME)
	@ln -sf $(SO_NAME) $(DESTDIR)$(libdir)/libxenpostcopy.so
	@test -z "$(XL_LIB_SO)" || { \
	    ln -sf $(XL_SO_REAL) $(DESTDIR)$(libdir)/$(XL_SO_NAME); \
	    ln -sf $(XL_SO_NAME) $(DESTDIR)$(libdir)/libxlpostcopy.so; }
	@test -n "$(DESTDIR)" || test "$$(id -u)" -ne 0 || ldconfig

uninstall:
	$(file >$(BUILD)/installed,$(INSTALLED))
	@while read -r mode from to; do \
	    test -n "$$to" || continue; \
	    rm -f "$(DESTDIR)$$to"; \
	done <$(BUILD)/installed
	@rm -f $(DESTDIR)$(libdir)/$(SO_NAME) \
	    $(DESTDIR)$(libdir)/libxenpostcopy.so \
	    $(DESTDIR)$(libdir)/$(XL_SO_NAME) $(DESTDIR)$(libdir)/libxlpostcopy.so
	@rmdir -p --ignore-fail-on-non-empty $(DESTDIR)$(PKGLIBEXEC)/bin \
	    $(DESTDIR)$(docdir) 2>/dev/null || true
