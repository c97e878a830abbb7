# make image, or docker build -t bidsdeface .
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH} TEMPLATEFLOW_HOME=/opt/templateflow TEMPLATEFLOW_AUTOUPDATE=0
# The dependencies first: they change less often than the program.
COPY constraints.txt pyproject.toml version README.md LICENSE /src/
RUN mkdir /src/bidsdeface && touch /src/bidsdeface/__init__.py \
    && pip install --no-cache-dir -c /src/constraints.txt "/src[audit]"
COPY bidsdeface /src/bidsdeface
RUN pip install --no-cache-dir --no-deps --force-reinstall /src
# Templates besides the built-in one; "none" needs no network, all else fails without.
ARG TEMPLATES=MNI152NLin2009cAsym
COPY scripts/fetch_templates.py /src/
RUN python /src/fetch_templates.py ${TEMPLATES}
# What nobody needs at run time; the weights are those that bidsdeface does not use.
RUN pip uninstall --yes pip setuptools \
    && site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && rm "$site"/face_recognition_models/models/shape_predictor_68_face_landmarks.dat \
    && find "$site" -depth \( -type d -name tests -o -name '*.h' -o -name '*.pxd' -o -name '*.pyi' \
       -o -name '*.a' -o -name '*.c' -o -name '*.cpp' -o -name '*.pyx' \) -exec rm -r {} +

FROM ${BASE_IMAGE}
COPY --from=build /opt /opt
COPY run.py version /
# Apptainer brings HOME and the host's variables in; HOME may not be there, or not be writable.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONNOUSERSITE=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0
ARG VERSION=0.2.0
ARG TAG=bidsdeface:${VERSION}
# make image gives the commit.
ARG REVISION=v${VERSION}
ENV BIDSDEFACE_CONTAINER=${TAG}
LABEL org.opencontainers.image.title="bidsdeface" \
      org.opencontainers.image.description="A BIDS App that defaces MRI and measures, scan by scan, what it did" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.label-schema.name="bidsdeface" \
      org.label-schema.version="${VERSION}" \
      org.label-schema.schema-version="1.0"
HEALTHCHECK NONE
ENTRYPOINT ["env", "-u", "LD_LIBRARY_PATH", "-u", "LD_PRELOAD", "-u", "PYTHONPATH", "-u", "PYTHONHOME", \
            "/opt/venv/bin/python", "-I", "/run.py"]
