#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# A suite of the rig's cases (RIG_SUITE: smoke, ci, full) as one TAP test for
# tests/run; needs nothing but a build.

exec "$TOP/tests/rig/run" -b "$BUILD" -s "${RIG_SUITE:-smoke}"
