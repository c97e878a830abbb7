ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

# Singularity and Apptainer bring the user's HOME and packages in; none of them may be used here.
ENV PYTHONNOUSERSITE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0

# The dependencies first: they change less often than the program.
COPY constraints.txt pyproject.toml version README.md LICENSE /src/
RUN mkdir /src/bidsdeface && touch /src/bidsdeface/__init__.py \
    && pip install --no-cache-dir -c /src/constraints.txt /src \
    && pip uninstall --yes bidsdeface

# The first import of templateflow fills TEMPLATEFLOW_HOME, which is read-only when the app runs.
RUN python -c "import templateflow"

COPY bidsdeface /src/bidsdeface
RUN pip install --no-cache-dir --no-deps /src && rm -r /src
COPY run.py version /

ARG TAG=bidsdeface:latest
ENV BIDSDEFACE_CONTAINER=${TAG}
ENTRYPOINT ["python", "-E", "-s", "/run.py"]
